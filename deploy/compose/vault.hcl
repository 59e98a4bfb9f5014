# HashiCorp Vault for an evaluation: one node on integrated storage, TLS.
ui            = false
disable_mlock = true # integrated storage; keep swap off or encrypted on the host
api_addr      = "https://vault:8200"
cluster_addr  = "https://vault:8201"

storage "raft" {
  path    = "/vault/data"
  node_id = "evaluation"
}

listener "tcp" {
  address         = "0.0.0.0:8200"
  tls_cert_file   = "/vault/tls/vault.pem"
  tls_key_file    = "/vault/tls/vault.key"
  tls_min_version = "tls12"
}
