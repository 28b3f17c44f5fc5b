"""What runs benchmark tasks: files and few-shot examples, forward passes, figures, the command."""
