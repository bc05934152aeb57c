"""transformers' BERT, GPT-2 and Marian, full and at toy width: ids in, no tokenizer, no download."""
import torch
import transformers
from transformers.cache_utils import DynamicCache

from spec import BATCH, LENGTH, Entry, Input

LENGTHS = (1, 17, 128)


class Encoder(torch.nn.Module):
    """BERT with its pooler; the mask lets samples of different lengths share a batch."""

    def __init__(self, config):
        super().__init__()
        self.bert = transformers.BertModel(config)

    def forward(self, input_ids, attention_mask, token_type_ids):
        out = self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return out.last_hidden_state, out.pooler_output


def bert(toy, length):
    sizes = dict(vocab_size=96, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, max_position_embeddings=128)
    config = transformers.BertConfig(**(sizes if toy else {}))
    return Encoder(config), [
        Input("input_ids", "i64", [BATCH, length], "integer", 0, config.vocab_size),
        Input("attention_mask", "i64", [BATCH, length], "prefix"),
        Input("token_type_ids", "i64", [BATCH, length], "integer", 0, 2),
    ]


class Generator(torch.nn.Module):
    """GPT-2 with its keys and values as inputs (unless there are none yet) and outputs; logits of the last place only."""

    def __init__(self, config):
        super().__init__()
        self.gpt2 = transformers.GPT2LMHeadModel(config)

    def forward(self, input_ids, *past):
        cache = DynamicCache(config=self.gpt2.config)
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        out = self.gpt2(input_ids=input_ids, cache=cache, use_cache=True, logits_to_keep=1)
        present = [x for layer in cache.layers for x in (layer.keys, layer.values)]
        return (out.logits[:, -1], *present)


def gpt2_config(toy):
    sizes = dict(vocab_size=96, n_positions=160, n_embd=48, n_layer=2, n_head=4, initializer_range=0.2)
    return transformers.GPT2Config(bos_token_id=None, eos_token_id=None, **(sizes if toy else {"initializer_range": 0.05}))


def gpt2_prefill(toy):
    config = gpt2_config(toy)
    return Generator(config), [Input("input_ids", "i64", [BATCH, LENGTH], "integer", 0, config.vocab_size)]


def gpt2_decode(toy):
    config = gpt2_config(toy)
    inputs = [Input("input_ids", "i64", [BATCH, 1], "integer", 0, config.vocab_size)]
    dims = [BATCH, config.n_head, LENGTH, config.n_embd // config.n_head]
    for layer in range(config.n_layer):
        inputs += [Input(f"past.{layer}.{what}", "f32", dims, "uniform", -1, 1) for what in ("key", "value")]
    return Generator(config), inputs


def presents(toy):
    return [f"present.{layer}.{what}" for layer in range(gpt2_config(toy).n_layer) for what in ("key", "value")]


class Translator(torch.nn.Module):
    """Marian's encoder and decoder in one pass, as in scoring: all target tokens at once."""

    def __init__(self, config):
        super().__init__()
        self.marian = transformers.MarianMTModel(config)

    def forward(self, input_ids, attention_mask, decoder_input_ids):
        return self.marian(input_ids=input_ids, attention_mask=attention_mask, decoder_input_ids=decoder_input_ids, use_cache=False).logits


def translator(toy):
    full = dict(vocab_size=16384, d_model=512, encoder_layers=6, decoder_layers=6, encoder_attention_heads=8, decoder_attention_heads=8,
                encoder_ffn_dim=2048, decoder_ffn_dim=2048, max_position_embeddings=512, init_std=0.05)
    small = dict(vocab_size=96, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
                 encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=128, init_std=0.2)
    sizes = small if toy else full
    last = sizes["vocab_size"] - 1
    config = transformers.MarianConfig(pad_token_id=last, decoder_start_token_id=last, eos_token_id=0, activation_function="swish", **sizes)
    return Translator(config), [
        Input("input_ids", "i64", [BATCH, LENGTH], "integer", 0, last),
        Input("attention_mask", "i64", [BATCH, LENGTH], "prefix"),
        Input("decoder_input_ids", "i64", [BATCH, LENGTH], "integer", 0, last),
    ]


ENTRIES = [
    Entry("bert_base", "attention", lambda toy: bert(toy, LENGTH), ["last_hidden_state", "pooler_output"], lengths=LENGTHS),
    Entry("bert_base_128", "attention", lambda toy: bert(toy, 16 if toy else 128), ["last_hidden_state", "pooler_output"]),
    Entry("gpt2_prefill", "attention", gpt2_prefill, lambda toy: ["logits", *presents(toy)], lengths=LENGTHS),
    Entry("translator", "attention", translator, ["logits"], lengths=LENGTHS),
    Entry("gpt2_decode", "memory", gpt2_decode, lambda toy: ["logits", *presents(toy)], lengths=LENGTHS),
]
