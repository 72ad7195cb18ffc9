"""Raw files, fetched or found, verified and unpacked."""
