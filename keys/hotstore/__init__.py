"""What Valkey knows of keys: publishing, the client, cluster, the functions (V3, V4)."""
