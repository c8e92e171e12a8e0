"""The pages that people look at: the report, the explorer, the labels; and what they say about the stages."""
