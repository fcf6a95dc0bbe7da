"""How the pocket models are made: corpus, tokenizer, training, measures, cards. See README.md."""
