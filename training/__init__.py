"""Training: a head on a frozen pretrained speech encoder, judged on held-out voices against the model before it.

`python -m training --config FILE.toml --manifest FILE.jsonl --incumbent FILE.jsonl --output DIR` reads a manifest, caches
encoder features, trains, judges and writes a checkpoint. It needs neither the warehouse nor the scheduler nor the annotation server.
"""
