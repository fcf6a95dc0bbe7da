"""A stand-in for `google.colab`: secrets, with Colab's exception classes, and models.

That is as much as the course uses. Put this folder's parent on PYTHONPATH, and a kernel believes
that it runs on Colab. Secrets come from the environment variable COLAB_SECRETS, a JSON object; the
word "denied" or "slow" as a value raises Colab's other two errors.
Compared with colabtools of April 2026.
"""
