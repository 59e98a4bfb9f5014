"""What the migrations make, as ``schema_check.describe`` describes it; a test compares them.

A line each: table, kind, and what it is in Postgres's own words. A migration adds its lines
here; the test shows which.
"""

from __future__ import annotations

__all__ = ["EXPECTED"]

EXPECTED = """\
alembic_version column version_num character varying(32) COLLATE "default" NOT NULL
alembic_version unique UNIQUE (version_num COLLATE "default")
audit_erasures check CHECK ((number > 0))
audit_erasures check CHECK ((octet_length(salt) = 16))
audit_erasures column field text COLLATE "C" NOT NULL
audit_erasures column key_version integer NOT NULL
audit_erasures column number bigint NOT NULL
audit_erasures column salt bytea NOT NULL
audit_erasures column sealed bytea NOT NULL
audit_erasures column tenant text COLLATE "C" NOT NULL
audit_erasures column writer uuid NOT NULL
audit_erasures unique UNIQUE (salt)
audit_erasures unique UNIQUE (writer, number)
audit_heads check CHECK ((number > 0))
audit_heads column head_mac bytea NOT NULL
audit_heads column key_version integer NOT NULL
audit_heads column mac bytea NOT NULL
audit_heads column number bigint NOT NULL
audit_heads column writer uuid NOT NULL
audit_heads unique UNIQUE (writer)
audit_log check CHECK (("position" > 0))
audit_log check CHECK ((number > 0))
audit_log check CHECK ((octet_length(leaf) = 32))
audit_log column body_digest bytea
audit_log column leaf bytea NOT NULL
audit_log column mac bytea NOT NULL
audit_log column number bigint NOT NULL
audit_log column position bigint NOT NULL
audit_log column writer uuid NOT NULL
audit_log unique UNIQUE ("position")
audit_log unique UNIQUE (writer, number)
audit_prunings check CHECK (("position" > 0))
audit_prunings check CHECK ((number > 0))
audit_prunings column number bigint NOT NULL
audit_prunings column position bigint NOT NULL
audit_prunings column sums text COLLATE "C" NOT NULL
audit_prunings column writer uuid NOT NULL
audit_prunings unique UNIQUE ("position")
audit_records check CHECK ((number > 0))
audit_records column body text COLLATE "C" NOT NULL
audit_records column key_version integer NOT NULL
audit_records column mac bytea NOT NULL
audit_records column number bigint NOT NULL
audit_records column previous bytea NOT NULL
audit_records column writer uuid NOT NULL
audit_records unique UNIQUE (writer, number)
audit_roots check CHECK (((octet_length(peaks) % 32) = 0))
audit_roots check CHECK ((octet_length(root) = 32))
audit_roots check CHECK ((size > 0))
audit_roots column key_version integer NOT NULL
audit_roots column mac bytea NOT NULL
audit_roots column peaks bytea NOT NULL
audit_roots column root bytea NOT NULL
audit_roots column size bigint NOT NULL
audit_roots unique UNIQUE (size)
audit_writers check CHECK ((ordinal > 0))
audit_writers column opened timestamp with time zone NOT NULL
audit_writers column ordinal bigint NOT NULL
audit_writers column server text COLLATE "C" NOT NULL
audit_writers column writer uuid NOT NULL
audit_writers unique UNIQUE (ordinal)
audit_writers unique UNIQUE (writer)
budget_counters check CHECK ((key_version > 0))
budget_counters check CHECK ((octet_length(mac) = 32))
budget_counters check CHECK ((total >= 0))
budget_counters column action text COLLATE "C" NOT NULL
budget_counters column field text COLLATE "C" NOT NULL
budget_counters column key_version integer NOT NULL
budget_counters column mac bytea NOT NULL
budget_counters column principal text COLLATE "C" NOT NULL
budget_counters column tenant text COLLATE "C" NOT NULL
budget_counters column total bigint NOT NULL
budget_counters column view text COLLATE "C" NOT NULL
budget_counters column windows text COLLATE "C" NOT NULL
budget_counters unique UNIQUE (tenant COLLATE "C", field COLLATE "C", action COLLATE "C", view COLLATE "C", principal COLLATE "C")
data_keys check CHECK (((purpose = 'audit'::text) = (field = ''::text)))
data_keys check CHECK ((purpose = ANY (ARRAY['field'::text, 'index'::text, 'audit'::text])))
data_keys check CHECK ((uses >= 0))
data_keys check CHECK ((version > 0))
data_keys column active boolean NOT NULL
data_keys column created timestamp with time zone NOT NULL DEFAULT now()
data_keys column field text COLLATE "C" NOT NULL
data_keys column purpose text COLLATE "C" NOT NULL
data_keys column restored boolean NOT NULL DEFAULT false
data_keys column tenant text COLLATE "C" NOT NULL
data_keys column uses bigint NOT NULL DEFAULT 0
data_keys column version integer NOT NULL
data_keys column wrapped text COLLATE "C" NOT NULL
data_keys unique UNIQUE (tenant COLLATE "C", field COLLATE "C", purpose COLLATE "C") WHERE active
data_keys unique UNIQUE (tenant COLLATE "C", field COLLATE "C", purpose COLLATE "C", version)
field_shapes column created timestamp with time zone NOT NULL DEFAULT now()
field_shapes column field text COLLATE "C" NOT NULL
field_shapes column shape text COLLATE "C" NOT NULL
field_shapes column tenant text COLLATE "C" NOT NULL
field_shapes unique UNIQUE (tenant COLLATE "C", field COLLATE "C")
freezes check CHECK ((key_version > 0))
freezes check CHECK ((kind = ANY (ARRAY['principal'::text, 'person'::text])))
freezes check CHECK ((octet_length(mac) = 32))
freezes check CHECK ((touched >= 0))
freezes column changed timestamp with time zone
freezes column document text COLLATE "default" NOT NULL
freezes column frozen boolean NOT NULL
freezes column key_version integer NOT NULL
freezes column kind text COLLATE "C" NOT NULL
freezes column mac bytea NOT NULL
freezes column name text COLLATE "C" NOT NULL
freezes column tenant text COLLATE "C" NOT NULL
freezes column touched bigint NOT NULL
freezes unique UNIQUE (tenant COLLATE "C", kind COLLATE "C", name COLLATE "C")
honey_tokens check CHECK ((key_version > 0))
honey_tokens check CHECK ((octet_length(mac) = 32))
honey_tokens check CHECK ((octet_length(salt) = 16))
honey_tokens column active boolean NOT NULL
honey_tokens column document text COLLATE "default" NOT NULL
honey_tokens column field text COLLATE "C" NOT NULL
honey_tokens column id uuid NOT NULL
honey_tokens column key_version integer NOT NULL
honey_tokens column mac bytea NOT NULL
honey_tokens column salt bytea NOT NULL
honey_tokens column sealed bytea NOT NULL
honey_tokens column tenant text COLLATE "C" NOT NULL
honey_tokens unique UNIQUE (tenant COLLATE "C", id)
key_epochs check CHECK ((epoch > 0))
key_epochs check CHECK ((reason = ANY (ARRAY['first'::text, 'moved'::text, 'told'::text])))
key_epochs column epoch bigint NOT NULL
key_epochs column identity text COLLATE "C" NOT NULL
key_epochs column reason text COLLATE "C" NOT NULL
key_epochs column since timestamp with time zone NOT NULL DEFAULT now()
key_epochs unique UNIQUE (epoch)
key_manifest check CHECK ((key_version > 0))
key_manifest check CHECK ((number > 0))
key_manifest check CHECK ((octet_length(mac) = 32))
key_manifest column created timestamp with time zone NOT NULL DEFAULT now()
key_manifest column document text COLLATE "C" NOT NULL
key_manifest column key_version integer NOT NULL
key_manifest column mac bytea NOT NULL
key_manifest column number bigint NOT NULL
key_manifest column tenant text COLLATE "C" NOT NULL
key_manifest unique UNIQUE (tenant COLLATE "C", number)
limit_counters check CHECK ((seconds > 0))
limit_counters check CHECK ((used >= 0))
limit_counters column action text COLLATE "C" NOT NULL
limit_counters column field text COLLATE "C" NOT NULL
limit_counters column principal text COLLATE "C" NOT NULL
limit_counters column seconds integer NOT NULL
limit_counters column tenant text COLLATE "C" NOT NULL
limit_counters column used bigint NOT NULL
limit_counters column window_start bigint NOT NULL
limit_counters unique UNIQUE (tenant COLLATE "C", field COLLATE "C", action COLLATE "C", principal COLLATE "C", seconds)
policy_servers check CHECK ((length(digest) = 64))
policy_servers column digest text COLLATE "C" NOT NULL
policy_servers column name text COLLATE "C" NOT NULL
policy_servers column seen timestamp with time zone NOT NULL
policy_servers column server uuid NOT NULL
policy_servers column tenant text COLLATE "C" NOT NULL
policy_servers column tweak_version integer NOT NULL DEFAULT 1
policy_servers reference FOREIGN KEY (tweak_version) REFERENCES tweak_versions(version)
policy_servers unique UNIQUE (tenant COLLATE "C", server)
policy_state check CHECK ((key_version > 0))
policy_state check CHECK ((length(digest) = 64))
policy_state check CHECK ((octet_length(mac) = 32))
policy_state column digest text COLLATE "C" NOT NULL
policy_state column document text COLLATE "default" NOT NULL
policy_state column key_version integer NOT NULL
policy_state column mac bytea NOT NULL
policy_state column since timestamp with time zone NOT NULL
policy_state column tenant text COLLATE "C" NOT NULL
policy_state unique UNIQUE (tenant COLLATE "C")
reveal_tokens check CHECK (((octet_length(spent) * 8) = octet_length(digests)))
reveal_tokens check CHECK ((key_version > 0))
reveal_tokens check CHECK ((octet_length(mac) = 32))
reveal_tokens check CHECK ((part >= 0))
reveal_tokens column digests bytea NOT NULL
reveal_tokens column id uuid NOT NULL
reveal_tokens column key_version integer NOT NULL
reveal_tokens column mac bytea NOT NULL
reveal_tokens column part integer NOT NULL
reveal_tokens column spent bytea NOT NULL
reveal_tokens column tenant text COLLATE "C" NOT NULL
reveal_tokens unique UNIQUE (tenant COLLATE "C", id, part)
reveals check CHECK ((key_version > 0))
reveals check CHECK ((octet_length(mac) = 32))
reveals check CHECK ((state = ANY (ARRAY['draft'::text, 'open'::text, 'granted'::text, 'denied'::text, 'withdrawn'::text, 'revoked'::text])))
reveals column awaits_review boolean NOT NULL DEFAULT false
reveals column document text COLLATE "default" NOT NULL
reveals column ends timestamp with time zone NOT NULL
reveals column field text COLLATE "C" NOT NULL
reveals column id uuid NOT NULL
reveals column key_version integer NOT NULL
reveals column mac bytea NOT NULL
reveals column principal text COLLATE "C" NOT NULL
reveals column state text COLLATE "C" NOT NULL
reveals column tenant text COLLATE "C" NOT NULL
reveals unique UNIQUE (tenant COLLATE "C", id)
schema_serves column revision text COLLATE "C" NOT NULL
schema_serves unique UNIQUE (revision COLLATE "C")
token_index check CHECK ((index_version > 0))
token_index check CHECK ((octet_length(mac) = 32))
token_index check CHECK ((scope = ANY (ARRAY['field'::text, 'subject'::text, 'session'::text])))
token_index column field text COLLATE "C" NOT NULL
token_index column index_version integer NOT NULL
token_index column mac bytea NOT NULL
token_index column scope text COLLATE "C" NOT NULL
token_index column tenant text COLLATE "C" NOT NULL
token_index column token text COLLATE "C" NOT NULL
token_index unique UNIQUE (tenant COLLATE "C", field COLLATE "C", scope COLLATE "C", index_version, mac)
token_subjects check CHECK ((octet_length(subject) = 32))
token_subjects column field text COLLATE "C" NOT NULL
token_subjects column subject bytea NOT NULL
token_subjects column tenant text COLLATE "C" NOT NULL
token_subjects column token text COLLATE "C" NOT NULL
token_subjects unique UNIQUE (tenant COLLATE "C", subject, field COLLATE "C", token COLLATE "C")
tokens check CHECK (((state = 'live'::text) = (ciphertext IS NOT NULL)))
tokens check CHECK ((generator = ANY (ARRAY['ff3-1'::text, 'ff1'::text, 'random'::text])))
tokens check CHECK ((key_version > 0))
tokens check CHECK ((scope = ANY (ARRAY['field'::text, 'subject'::text, 'session'::text, 'none'::text])))
tokens check CHECK ((state = ANY (ARRAY['live'::text, 'expired'::text, 'erased'::text])))
tokens check CHECK ((tweak_counter >= 0))
tokens column ciphertext bytea
tokens column created timestamp with time zone NOT NULL DEFAULT now()
tokens column expires timestamp with time zone
tokens column field text COLLATE "C" NOT NULL
tokens column generator text COLLATE "C" NOT NULL
tokens column key_version integer NOT NULL
tokens column scope text COLLATE "C" NOT NULL
tokens column state text COLLATE "C" NOT NULL DEFAULT 'live'::text
tokens column tenant text COLLATE "C" NOT NULL
tokens column token text COLLATE "C" NOT NULL
tokens column tweak_counter bigint NOT NULL
tokens unique UNIQUE (tenant COLLATE "C", field COLLATE "C", token COLLATE "C")
tweak_versions check CHECK ((version > 0))
tweak_versions column since timestamp with time zone NOT NULL DEFAULT now()
tweak_versions column version integer NOT NULL
tweak_versions unique UNIQUE (version)
webhook_outbox check CHECK ((attempts >= 0))
webhook_outbox check CHECK ((key_version > 0))
webhook_outbox check CHECK ((octet_length(mac) = 32))
webhook_outbox column attempts integer NOT NULL DEFAULT 0
webhook_outbox column created timestamp with time zone NOT NULL
webhook_outbox column due timestamp with time zone NOT NULL
webhook_outbox column endpoint text COLLATE "C" NOT NULL
webhook_outbox column event text COLLATE "default" NOT NULL
webhook_outbox column id uuid NOT NULL
webhook_outbox column key_version integer NOT NULL
webhook_outbox column mac bytea NOT NULL
webhook_outbox column tenant text COLLATE "C" NOT NULL
webhook_outbox unique UNIQUE (tenant COLLATE "C", id, endpoint COLLATE "C")
"""  # noqa: E501 - Postgres's words, not wrapped
