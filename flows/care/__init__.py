"""Care: the warehouse file and canonical audio, kept, checked and made anew."""
