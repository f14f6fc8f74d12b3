// Publishes events beside rows, as a service written for Node does. Needs pg.

const { Client } = require("pg");

// A row and its event in one transaction; returns the version that the event was given.
async function publish(client, cents, sku, call, values, end = "COMMIT") {
  await client.query("BEGIN");
  try {
    await client.query("INSERT INTO price VALUES ($1, $2)", [sku, cents]);
    const { rows } = await client.query(`SELECT tidings.publish(${call}) AS version`, values);
    await client.query(end);
    return rows[0].version;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  }
}

async function refused(client, call, values) {
  try {
    await publish(client, 0, "refused", call, values);
  } catch (error) {
    console.log(error.code, error.message);
  }
}

async function main() {
  const client = new Client({ connectionString: process.argv[2] });
  await client.connect();
  const told = async (...event) => console.log("version", await publish(client, ...event));
  await told(1999, "größe/商品 1", "$1, $2, $3, effectivefrom => $4, traceparent => $5", [
    "pricing.BasePriceChanged", "price/größe/商品 1", '{"cents": 1999,  "name":"größe \\u5546"}',
    "2026-01-02T03:04:05.678901Z", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]);
  await publish(client, 1, "rolled back", "$1, $2, $3",
    ["pricing.BasePriceChanged", "price/rolled back", "1"], "ROLLBACK");
  await told(2000, "image", "$1, $2, version => $3, body => $4, contenttype => $5", [
    "pricing.LabelPrinted", "label/1", 41, Buffer.from(Array.from({ length: 256 }, (_, n) => n)), "image/png"]);
  await told(2001, "gone", "$1, $2", ["pricing.LabelGone", "label/1"]);
  await refused(client, "$1, $2", ["pricing.BasePriceChanged", "price"]);
  await refused(client, "$1, $2, $3", ["pricing.BasePriceChanged", "price/1", "{"]);
  await refused(client, "$1, $2, version => $3", ["pricing.LabelPrinted", "label/1", 42]);
  await client.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
