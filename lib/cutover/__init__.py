"""Cutover: runbooks that move a live platform to AWS, prove that everything arrived, and roll back when they must."""
