"""The semantic cache: what is kept, how alike two questions are, and where answers are found again."""
