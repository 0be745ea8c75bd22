//! Logs on etcd and PostgreSQL in the real world.
