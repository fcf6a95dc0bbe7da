"""What one notebook alone needs: its checks with their solutions, its views, its pictures.

nbNN is imported by notebook NN and by its test, by nobody else; `exercises`, `views` by more.
"""
