"""How the pocket models are made: their corpus, tokenizer, training, measures and cards. See README.md."""
