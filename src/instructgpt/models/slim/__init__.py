"""A model's layers as a few large operations, its weights laid out for the library that multiplies
them: for passes that only read.
"""
