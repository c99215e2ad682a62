"""Training: a head on a frozen pretrained speech encoder, judged beside the model before it.

`python -m training --config FILE.toml --manifest FILE.jsonl --incumbent FILE.jsonl --output DIR`
reads a manifest, caches encoder features, trains, judges on held-out voices and writes a
checkpoint. It needs neither the warehouse nor the scheduler nor the annotation server.
"""
