"""Services: Prefect, Label Studio, the worker and the receiver on this machine."""
