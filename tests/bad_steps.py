"""Quantizing steps that a network (``conv_net``) can't take, for the tests of what the user is told."""

from __future__ import annotations

NOT_A_STEP = {
    "clip_outliers(bits=17)": "bits=17 must be at least 2 and at most 8",
    "quantize_weights(symmetry=signed)": "symmetry='signed' is not one of automatic, symmetric, asymmetric",
    "quantize_nodes(mode=round,bitdepth=0)": "bitdepth=0 must be at least 1 and at most 16",
    "quantize_nodes(mode=weights_rounded,bitdepth=17)": "bitdepth=17 must be at least 1 and at most 16",
    "quantize_nodes(bitdepth=4)": "mode eightbit has 8 bits",
    "quantize_nodes(fallback_min=1,fallback_max=0)": "the range fallback_min=1 to fallback_max=0 is reversed",
    "quantize_nodes(fallback_min=0,fallback_max=0)": "the range fallback_min=0 to fallback_max=0 is empty",
    "quantize_nodes(fallback_min=1,fallback_max=2)": "fallback_min=1 to fallback_max=2 does not include 0",
    "quantize_nodes(fallback_min=0,fallback_max=nan)": "fallback_max=nan must be a finite number",
    "quantize_nodes(fallback_min=0)": "fallback_max is missing",
    "quantize_nodes(quantized_input=true,input_min=2,input_max=1)": "input_min=2 to input_max=1 is reversed",
    "quantize_placeholders(input_min=1,input_max=0)": "input_m",
    "fuse_int8(ranges={'relu': [1, 0]})": "the range [1, 0] of 'relu' is reversed",
    "fuse_int8(ranges={'relu': [1, 1]})": "the range [1, 1] of 'relu' is empty",
    "freeze_requantization_ranges(ranges={'conv': [2, 1]})": "the range [2, 1] of 'conv' is reversed",
    "freeze_requantization_ranges(ranges={'conv': [0, 1e999]})": "is not finite",
    "round_weights(num_steps=0)": "num_steps=0 must be at least 2",
    "mixed_precision(rest=0)": "rest=0 must be at least 2",
    "mixed_precision(bits={'conv': 17})": "17",
}
"""A step that can't even be written down -> what the sentence says."""

DOES_NOT_FIT = {
    "clip_outliers(layers=cnv)": "there is no node or scope 'cnv' to clip (did you mean conv?)",
    "quantize_nodes(skip=cnv)": "there is no node or scope 'cnv' to skip (did you mean conv?)",
    "quantize_weights(skip=elsewhere)": "there is no node or scope 'elsewhere' to skip",
    "fuse_int8": "no range is given",
    "fuse_int8(ranges={'other/conv': [0, 1]})": "there is no node 'other/conv', of which a range is given",
    "freeze_requantization_ranges": "no range is given",
    "freeze_requantization_ranges(ranges={'conv': [0, 1]})": "no node of this graph finds a range at run time",
    "mixed_precision(bits={'cnv': 4})": "there is no layer 'cnv' (did you mean conv?)",
}
"""A step that does not fit this network -> what the sentence says."""
