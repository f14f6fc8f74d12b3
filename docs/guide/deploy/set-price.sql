-- Changes a price and tells of it, in one transaction: psql -v sku=SKU-1 -v cents=1999 -f set-price.sql
\set ON_ERROR_STOP on
BEGIN;
WITH changed AS (
    INSERT INTO price (sku, cents) VALUES (:'sku', :cents)
    ON CONFLICT (sku) DO UPDATE SET cents = excluded.cents, version = price.version + 1
    RETURNING sku, cents, version
)
SELECT tidings.publish('pricing.BasePriceChanged', 'price/' || sku, row_to_json(changed), version => version)
FROM changed;
COMMIT;
