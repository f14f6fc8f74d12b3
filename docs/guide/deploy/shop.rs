//! The service "shop" of the guide on deployment: prices from another service's database, cached in each process and in
//! a shared cache, and each answer with what is known of its freshness.
//!
//! `SHOP_PRICING` is the address of the database, `BROKERS` and `REDIS_URL` say where the others are, and `SHOP_LISTEN`
//! where this one answers.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidings::{
    AsOf, BoxError, Clock, Consumer, Decision, DomainEvent, Fence, FenceSettings, Fill, Loaded, Running,
    Seen, Shared, Stamp, Timeline, Topic, Truth, Version, View,
};
use tidings_kafka::{KafkaLog, KafkaSettings};
use tidings_postgres::{Address, PostgresSource};
use tidings_redis::{Follows, RedisLevel, RedisStore, Settings};
use tokio::sync::Mutex;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// What pricing tells. The shop needs no more of it than the name of what has changed.
#[derive(DomainEvent, Serialize, Deserialize)]
#[event(context = "pricing", entity = "price", key = "sku", version = "version")]
struct BasePriceChanged {
    sku: String,
    version: u64,
    cents: i64,
}

/// Serves prices.
struct Shop {
    prices: View<String, i64>,
    pricing: Pricing,
}

/// Where prices come from.
struct Pricing {
    address: Address,
    client: Mutex<Option<Arc<Client>>>,
}

/// The statement that reads a price also says which state of the database it has seen.
const PRICE: &str = "SELECT p.cents, p.version, a.timeline, a.place, a.newest
    FROM tidings.as_of() AS a LEFT JOIN price AS p ON p.sku = $1";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = Address::parse(&variable("SHOP_PRICING")?)?;
    let pricing = Topic::new("pricing")?;
    let log = KafkaLog::open(KafkaSettings::new(variable("BROKERS")?))?;
    let level = RedisLevel::connect(Settings::new(&variable("REDIS_URL")?, "shop")).await?;
    for finding in tidings_redis::doctor(&level).await? {
        eprintln!("shop: {finding}");
    }
    let source = Arc::new(PostgresSource::new(&address));
    let fence = Fence::new(FenceSettings::default(), Clock::system());
    let shared = Shared::new(
        Arc::new(level.clone()),
        source.clone(),
        |sku: &String| sku.clone(),
        |cents: &i64| cents.to_be_bytes().to_vec(),
        |bytes: &[u8]| Some(i64::from_be_bytes(bytes.try_into().ok()?)),
    );
    let prices = View::builder("price", &fence)
        .truth(Truth::Push(Duration::from_secs(2)))
        .sources([&pricing])
        .shared(shared)
        .build()?;

    // This process's own cache hears everything. The shared one hears each event from one process of the group.
    let mut own = Consumer::builder("shop", log.clone())
        .topics([&pricing])
        .on(|_: &BasePriceChanged, _| Decision::Invalidate)
        .store(fence)
        .build()?
        .spawn();
    let store = RedisStore::new(level, source, Follows::Group);
    let mut group = Consumer::builder("shop-cache", log.clone())
        .shared_by(Arc::new(log.join("shop-cache", &[pricing])?))
        .on(|_: &BasePriceChanged, _| Decision::Invalidate)
        .store(Arc::new(store.clone()))
        .build()?
        .spawn();
    tokio::spawn(async move {
        store.keep_live(Duration::from_secs(1), |error| eprintln!("shop: the shared cache: {error}")).await;
    });

    let shop = Shop { prices, pricing: Pricing { address, client: Mutex::default() } };
    let router = Router::new().route("/price/{sku}", get(price)).with_state(Arc::new(shop));
    let listener = tokio::net::TcpListener::bind(variable("SHOP_LISTEN")?).await?;
    println!("shop on http://{}", listener.local_addr()?);
    // A consumer ends only by a failure that waiting does not mend: whoever started this process starts it again.
    tokio::select! {
        served = async { axum::serve(listener, router).await } => Ok(served?),
        ended = ended(&mut own) => ended,
        ended = ended(&mut group) => ended,
    }
}

async fn ended(consumer: &mut Running) -> Result<(), Box<dyn Error>> {
    consumer.finished().await?;
    Err("a consumer has ended".into())
}

/// One price, and what is known of it.
async fn price(State(shop): State<Arc<Shop>>, Path(sku): Path<String>) -> (StatusCode, Json<Value>) {
    match shop.prices.get(&sku, |fill| shop.pricing.load(sku.clone(), fill)).await {
        Ok(answer) => {
            let known = answer.certificate();
            let code = if answer.value().is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
            let answer = json!({
                "sku": sku,
                "cents": answer.value(),
                "version": known.version.map(Version::number),
                "freshness": known.freshness.to_string(),
                "path": format!("{:?}", known.path),
            });
            (code, Json(answer))
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": error.to_string() }))),
    }
}

impl Pricing {
    /// Reads a price. Everything that is told of it comes from one statement, and so from one state.
    async fn load(&self, sku: String, fill: Fill) -> Result<Loaded<i64>, BoxError> {
        let row = self.client().await?.query_typed_one(PRICE, &[(&sku, Type::TEXT)]).await?;
        let timeline = Timeline(u32::try_from(row.get::<_, i32>("timeline"))?);
        let at = |at: i64| u64::try_from(at).map(|at| AsOf { timeline, at });
        fill.read_present(Seen { least: at(row.get("place"))?, most: at(row.get("newest"))? });
        let Some(version) = row.get::<_, Option<i64>>("version") else {
            fill.depends_unversioned("price", &sku);
            return Ok(Loaded::absent());
        };
        let version = Version::new(u64::try_from(version)?).ok_or("a price of version 0")?;
        fill.depends_at("price", &sku, Stamp { timeline, version });
        Ok(Loaded::new(version, row.get("cents")))
    }

    /// The connection, or a new one in place of one that broke. A service under load has a pool here.
    async fn client(&self) -> Result<Arc<Client>, BoxError> {
        let mut kept = self.client.lock().await;
        match kept.as_ref().filter(|client| !client.is_closed()) {
            Some(client) => Ok(client.clone()),
            None => Ok(kept.insert(Arc::new(self.address.connect("shop", "").await?)).clone()),
        }
    }
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))
}
