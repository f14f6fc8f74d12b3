//! Readers over real HTTP: what a client sees, answer by answer, is judged like every other read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use retail::seed::CATEGORIES;
use retail::{Market, Platform, Sort, Witness, Zipf, digest, offer_id};
use serde_json::Value;
use tidings_core::certificate::Cause;
use tidings_core::{Entity, Freshness, Path, Stamp, Version};
use tidings_testkit::history::{Read, Record, Shown, State};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::recorder::{self, COPY, Recorder, shown};

/// Requests per second, over all connections.
pub(crate) const PER_SECOND: u32 = 200;
const CONNECTIONS: u32 = 4;
/// One page in so many is asked for a second time, with what was seen as the least that must be shown.
const AGAIN: u32 = 20;
/// The longest body that is read.
const BODY: usize = 1 << 20;

/// Readers at work.
pub(crate) struct Clients {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    reads: AtomicU64,
    failed: AtomicU64,
}

/// What every reader needs.
#[derive(Clone)]
struct Reader {
    address: Arc<str>,
    platform: Arc<Platform>,
    recorder: Arc<Recorder>,
    popularity: Arc<Zipf>,
    counts: Arc<Counts>,
    bound: Duration,
}

impl Clients {
    /// Starts reading from `host:port`.
    pub(crate) fn start(
        address: &str,
        platform: Arc<Platform>,
        recorder: Arc<Recorder>,
        bound: Duration,
        seed: u64,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let counts = Arc::<Counts>::default();
        let popularity = Arc::new(Zipf::new(platform.experience().by_popularity().len(), 1.0));
        let reader =
            Reader { address: address.into(), platform, recorder, popularity, counts: counts.clone(), bound };
        let mut tasks = JoinSet::new();
        for number in 0..CONNECTIONS {
            let (reader, mut stopped) = (reader.clone(), stopped.clone());
            tasks.spawn(async move {
                let session = retail::load::SESSIONS + 1 + u64::from(number);
                let random = SmallRng::seed_from_u64(seed ^ (0x4177_0000 + u64::from(number)));
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => {}
                    () = reader.run(session, random) => {}
                }
            });
        }
        Self { stop, tasks, counts }
    }

    /// Requests answered, and those that failed.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.counts.reads.load(Ordering::Relaxed), self.counts.failed.load(Ordering::Relaxed))
    }

    /// Stops reading.
    pub(crate) async fn stop(&mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Reader {
    async fn run(self, session: u64, mut random: SmallRng) {
        let pause = Duration::from_secs(1) * CONNECTIONS / PER_SECOND;
        let mut due = Instant::now();
        loop {
            let Ok(stream) = TcpStream::connect(&*self.address).await else {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            };
            let mut stream = BufStream::new(stream);
            loop {
                // Paced by due times, so that a slow moment is caught up.
                sleep_until(due).await;
                due += pause;
                if self.read_one(&mut stream, session, &mut random).await.is_err() {
                    self.counts.failed.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
    }

    async fn read_one(
        &self,
        stream: &mut BufStream<TcpStream>,
        session: u64,
        random: &mut SmallRng,
    ) -> std::io::Result<()> {
        let market = Market::ALL[random.random_range(0..Market::ALL.len())];
        if random.random_ratio(1, 7) {
            let category = CATEGORIES[random.random_range(0..CATEGORIES.len())].slug;
            let sort = Sort::ALL[random.random_range(0..Sort::ALL.len())].as_str();
            let path = format!("/listings/{category}?region={market}&sort={sort}");
            let asked = Asked { path, key: format!("{category}/{market}/{sort}"), token: None, session };
            return self
                .ask(stream, asked, "category_listing over HTTP", |body| listed(body, market))
                .await
                .map(drop);
        }
        let sku = &self.platform.experience().by_popularity()[self.popularity.sample(random)];
        let path = format!("/products/{sku}?region={market}");
        let asked = Asked { path, key: format!("{sku}/{market}"), token: None, session };
        let view = "product_detail over HTTP";
        let shows = self.ask(stream, asked.clone(), view, |body| detailed(body, market)).await?;
        if random.random_ratio(1, AGAIN)
            && let Some(Shown { entity, state: State::At { stamp, .. } }) = shows.into_iter().last()
        {
            let path = format!("{}&at_least={entity}:{stamp}", asked.path);
            let again = Asked { path, token: Some((entity, stamp)), ..asked };
            self.ask(stream, again, view, |body| detailed(body, market)).await?;
        }
        Ok(())
    }

    /// Asks, records what was answered, and returns what it shows.
    async fn ask(
        &self,
        stream: &mut BufStream<TcpStream>,
        asked: Asked,
        view: &str,
        shows: impl FnOnce(&Value) -> Option<Vec<retail::Shown>>,
    ) -> std::io::Result<Vec<Shown>> {
        let Asked { path, key, token, session } = asked;
        let began = self.recorder.now_ns();
        let body = request(stream, &self.address, &path).await?;
        let ended = self.recorder.now_ns();
        // An answer that cannot be judged is no failed read: it is missing in the history.
        let Some((answer, shows, freshness)) = understood(&body, shows) else {
            self.recorder.missed();
            return Err(std::io::Error::other(format!("{path} answered what is no answer")));
        };
        let shows: Vec<_> = shows.into_iter().map(shown).collect();
        let way = path_of(&answer["certificate"]);
        self.recorder.take(Record::Read(Read {
            copy: COPY.into(),
            session: recorder::session(session, freshness, way),
            view: view.into(),
            key: key.into(),
            shows: shows.clone(),
            token,
            began,
            ended,
            freshness,
            path: way,
            bound: Some(self.bound),
        }));
        self.counts.reads.fetch_add(1, Ordering::Relaxed);
        Ok(shows)
    }
}

/// The answer, what it shows, and what it claims.
fn understood(
    body: &[u8],
    shows: impl FnOnce(&Value) -> Option<Vec<retail::Shown>>,
) -> Option<(Value, Vec<retail::Shown>, Freshness)> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let (shows, freshness) = (shows(&answer)?, freshness(&answer["certificate"])?);
    Some((answer, shows, freshness))
}

/// One request to be made.
#[derive(Clone)]
struct Asked {
    path: String,
    key: String,
    token: Option<(Entity, Stamp)>,
    session: u64,
}

/// Asks for one path, and reads a 200 with its body; HTTP/1.1 with the connection kept.
async fn request(stream: &mut BufStream<TcpStream>, host: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let bad = |what: &str| std::io::Error::other(what.to_owned());
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await?;
    stream.flush().await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    if !line.starts_with("HTTP/1.1 200 ") {
        return Err(bad(line.trim()));
    }
    let mut length = None;
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(bad("the answer ended within its head"));
        }
        match line.trim().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse::<usize>().ok().filter(|length| *length <= BODY);
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length.ok_or_else(|| bad("the answer has no usable length"))?];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

fn detailed(answer: &Value, market: Market) -> Option<Vec<retail::Shown>> {
    let page = &answer["product"];
    let sku = page["sku"].as_str()?;
    let offer = offer_id(&retail::Sku::parse(sku).ok()?, market);
    let content = digest::content(page["title"].as_str()?, page["media"][0].as_str());
    let price = digest::price(u32::try_from(page["base_cents"].as_u64()?).ok()?);
    let stock = digest::stock(page["available"].as_u64()?);
    Some(vec![
        part(retail::catalog::CONTENT, sku, &page["content_version"], Some(content))?,
        part(retail::pricing::PRICE, &offer, &page["price_version"], Some(price))?,
        part(retail::inventory::STOCK, &offer, &page["stock_version"], Some(stock))?,
    ])
}

fn listed(answer: &Value, market: Market) -> Option<Vec<retail::Shown>> {
    let mut shows = Vec::new();
    for line in answer["listing"]["lines"].as_array()? {
        let sku = line["sku"].as_str()?;
        let offer = offer_id(&retail::Sku::parse(sku).ok()?, market);
        let content = digest::content(line["title"].as_str()?, line["thumbnail"].as_str());
        shows.push(part(retail::catalog::CONTENT, sku, &line["content_version"], Some(content))?);
        shows.push(part(retail::pricing::PRICE, &offer, &line["price_version"], None)?);
    }
    Some(shows)
}

fn part(kind: &str, id: &str, version: &Value, digest: Option<u64>) -> Option<retail::Shown> {
    retail::Shown::at(kind, id, Version::new(version.as_u64()?)?, digest).ok()
}

/// Where the answer came from, as the client was told it. Only one that was not kept is judged differently.
fn path_of(certificate: &Value) -> Path {
    match certificate["path"].as_str() {
        Some("source, not kept") => Path::SourceUnkept,
        Some("l1") => Path::L1,
        Some("l2") => Path::L2,
        Some("coalesced") => Path::Coalesced,
        _ => Path::Source,
    }
}

/// What the answer claims, as the client was told it.
fn freshness(certificate: &Value) -> Option<Freshness> {
    match certificate["freshness"].as_str()? {
        "fresh" => Some(Freshness::Fresh),
        "direct" => Some(Freshness::Direct),
        "unverified" => Some(Freshness::Unverified),
        text if text.starts_with("within ") => {
            certificate["within_ms"].as_u64().map(|ms| Freshness::Within(Duration::from_millis(ms)))
        }
        text if text.starts_with("stale") => Some(Freshness::Stale(Cause::SourceBehind)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_is_understood() {
        for label in [
            Freshness::Fresh,
            Freshness::Direct,
            Freshness::Unverified,
            Freshness::Stale(Cause::SourceBehind),
            Freshness::Within(Duration::from_millis(41)),
        ] {
            let told = serde_json::json!({ "freshness": label.to_string(), "within_ms": 41 });
            assert_eq!(freshness(&told), Some(label), "{label}");
        }
        assert_eq!(freshness(&serde_json::json!({ "freshness": "very" })), None);
    }

    #[test]
    fn an_answer_whose_certificate_cannot_be_read_is_none() {
        let shows = |_: &Value| Some(Vec::new());
        let is_understood = |body: &str| understood(body.as_bytes(), shows).is_some();
        assert!(is_understood(r#"{"certificate":{"freshness":"fresh"}}"#));
        for bad in ["", "no JSON", "{}", r#"{"certificate":{"freshness":"very"}}"#] {
            assert!(!is_understood(bad), "{bad}");
        }
        assert!(
            understood(br#"{"certificate":{"freshness":"fresh"}}"#, |_| None).is_none(),
            "nor its versions"
        );
    }
}
