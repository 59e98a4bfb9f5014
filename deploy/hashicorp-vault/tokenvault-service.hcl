# What the Tokenvault service may do on HashiCorp Vault or OpenBao, and nothing else.
# "transit" is the mount and "tokenvault" the key; setup.sh changes both where yours are
# named otherwise. `tokenvault dev` uses this very file.

# Make a data key. Only wrapped: a plaintext data key never comes back from its making.
path "transit/datakey/wrapped/tokenvault" {
  capabilities = ["update"]
}

# Open wrapped data keys, in batches, at start and at every refresh.
path "transit/decrypt/tokenvault" {
  capabilities = ["update"]
}

# Keep the service's own login alive, and see how long it lasts. The login carries no
# "default" policy, so these two must be named.
path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "auth/token/lookup-self" {
  capabilities = ["read"]
}
