-- The database of the service "pricing", and who may do what in it. Run once, as a superuser.
-- Passwords come from the environment, so that they stand in no file and on no command line.
\set ON_ERROR_STOP on
\set owner_password `printenv OWNER_PASSWORD`
\set writer_password `printenv WRITER_PASSWORD`
\set relay_password `printenv RELAY_PASSWORD`
\set reader_password `printenv READER_PASSWORD`

-- The roles that the outbox gives its rights to. Made here, so that its owner need not be able to make roles.
CREATE ROLE tidings_writer NOLOGIN;
CREATE ROLE tidings_relay NOLOGIN;
CREATE ROLE tidings_reader NOLOGIN;

-- Owns tables and outbox; used to install and upgrade, never by a running service.
CREATE ROLE pricing_owner LOGIN PASSWORD :'owner_password';
-- The service itself.
CREATE ROLE pricing_writer LOGIN PASSWORD :'writer_password' IN ROLE tidings_writer;
-- The relays. REPLICATION belongs to the login itself; no role passes it on.
CREATE ROLE pricing_relay LOGIN REPLICATION PASSWORD :'relay_password' IN ROLE tidings_relay;
-- The service "shop", which reads prices.
CREATE ROLE shop_reader LOGIN PASSWORD :'reader_password' IN ROLE tidings_reader;

CREATE DATABASE pricing OWNER pricing_owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE pricing FROM PUBLIC;
GRANT CONNECT ON DATABASE pricing TO pricing_writer, pricing_relay, shop_reader;
