"""All of the zoo, in the order in which tables show it: by family."""
import networks
import others
import text
import vision

FAMILIES = ("conv", "mobile", "attention", "memory")
ENTRIES = sorted([*vision.ENTRIES, *networks.ENTRIES, *text.ENTRIES, *others.ENTRIES], key=lambda entry: FAMILIES.index(entry.family))
