"""The published log in an object store that speaks S3's protocol."""
