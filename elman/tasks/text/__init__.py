"""What comes next in a text: characters in, the next character out."""
