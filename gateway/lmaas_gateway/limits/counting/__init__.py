"""Count the tokens of a prompt as its replica will: with the model's own tokenizer and chat template."""
