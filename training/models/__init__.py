"""Networks: speech encoders behind one contract, and the head on top of them."""
