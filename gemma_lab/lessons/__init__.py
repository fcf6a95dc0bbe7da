"""What one notebook alone needs: its checks with their solutions, its views, its pictures.

A module is imported by its notebook and its test, and by nobody else.
"""
