//! The API as a client sees it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::fixture::Fixture;

on_each_engine! {
    crate::fixture::settings();
    a_write_answers_with_a_token_that_reads_at_least_that,
    what_is_wrong_is_refused_with_one_sentence_and_a_code,
}

struct Answer {
    status: u16,
    headers: String,
    body: Value,
}

struct Client(SocketAddr);

impl Client {
    async fn of(shop: &Fixture) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = retail::http::router(shop.platform.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self(address)
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let address = self.0;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            Answer { status, headers: head.to_ascii_lowercase(), body: serde_json::from_str(body).unwrap() }
        })
        .await
        .unwrap()
    }
}

async fn a_write_answers_with_a_token_that_reads_at_least_that(shop: Fixture) {
    let client = Client::of(&shop).await;
    let sku = shop.sku(0);
    let page = client.ask("GET", &format!("/products/{sku}?region=eu"), "").await;
    assert_eq!((page.status, &page.body["product"]["price_version"]), (200, &json!(1)));
    assert!(page.headers.contains("x-tidings-freshness: fresh"), "{}", page.headers);
    assert!(page.headers.contains("x-tidings-version: 3"), "{}", page.headers);

    let price = json!({ "region": "eu", "amount_cents": 4242 }).to_string();
    let written = client.ask("PUT", &format!("/prices/{sku}"), &price).await;
    assert_eq!(written.body, json!({ "token": format!("price/{sku}/eu:2"), "published": true }));
    let token = written.body["token"].as_str().unwrap();
    let page = client.ask("GET", &format!("/products/{sku}?region=eu&at_least={token}"), "").await;
    assert_eq!((page.status, &page.body["product"]["cents"]), (200, &json!(4242)));

    let category = page.body["product"]["category"].as_str().unwrap();
    let listing = client.ask("GET", &format!("/listings/{category}?region=eu&sort=newest"), "").await;
    assert_eq!(listing.status, 200);
    assert!(!listing.body["listing"]["lines"].as_array().unwrap().is_empty());
    assert!(listing.body["certificate"]["freshness"].is_string());

    let promotion = json!({ "sku": sku, "region": "eu", "percent": 50, "lasts_s": 3600 }).to_string();
    let promoted = client.ask("POST", "/promotions", &promotion).await;
    assert_eq!(promoted.body["token"], json!(format!("price/{sku}/eu:3")));
    let units = json!({ "region": "eu", "node": "eu-ham", "delta": 9 }).to_string();
    assert_eq!(client.ask("POST", &format!("/stock/{sku}"), &units).await.status, 200);
    let order = json!({ "sku": sku, "region": "eu", "quantity": 2, "expected_cents": 2121 }).to_string();
    let placed = client.ask("POST", "/checkout", &order).await;
    assert_eq!((placed.status, &placed.body["total_cents"]), (200, &json!(4242)));
    let content = json!({ "title": "A lamp" }).to_string();
    assert_eq!(client.ask("PUT", &format!("/content/{sku}"), &content).await.body["published"], json!(true));
}

async fn what_is_wrong_is_refused_with_one_sentence_and_a_code(shop: Fixture) {
    let client = Client::of(&shop).await;
    let sku = shop.sku(0);
    let product = |query: &str| format!("/products/{sku}?{query}");
    let (price, stock) = (format!("/prices/{sku}"), format!("/stock/{sku}"));
    let long = json!({ "note": "x".repeat(70_000) }).to_string();
    for (method, path, body, status, code) in [
        ("GET", "/products/SKU-99999?region=eu", "", 404, "SKU_UNKNOWN"),
        ("GET", "/products/nope?region=eu", "", 400, "SKU_INVALID"),
        ("GET", "/products/%FF?region=eu", "", 400, "PATH_INVALID"),
        ("GET", &product("region=moon"), "", 400, "REGION_UNKNOWN"),
        ("GET", &product(""), "", 400, "QUERY_INVALID"),
        ("GET", &product("region=eu&colour=red"), "", 400, "QUERY_INVALID"),
        ("GET", &product("region=eu&at_least=price"), "", 400, "TOKEN_INVALID"),
        ("GET", &product("region=eu&at_least=price/other/eu:1"), "", 400, "TOKEN_INVALID"),
        ("GET", &product(&format!("region=eu&at_least=price/{sku}/eu:9")), "", 503, "TD4004"),
        ("GET", "/listings/nothing?region=eu", "", 404, "CATEGORY_UNKNOWN"),
        ("GET", "/listings/toys?region=eu&sort=colour", "", 400, "SORT_UNKNOWN"),
        ("DELETE", &price, "", 405, "METHOD_NOT_ALLOWED"),
        ("PUT", &price, "", 400, "BODY_INVALID"),
        ("PUT", &price, "{\"region\":\"eu\",\"amount_cents\":", 400, "BODY_INVALID"),
        ("PUT", &price, "{\"region\":\"eu\",\"amount_cents\":-1}", 400, "BODY_INVALID"),
        ("PUT", &price, "{\"region\":\"eu\",\"amount_cents\":0}", 400, "AMOUNT_INVALID"),
        ("PUT", "/prices/SKU-99999", "{\"region\":\"eu\",\"amount_cents\":1}", 404, "SKU_UNKNOWN"),
        ("POST", &stock, "{\"region\":\"eu\",\"node\":\"us-dfw\",\"delta\":1}", 400, "NODE_UNKNOWN"),
        ("POST", &stock, "{\"region\":\"eu\",\"node\":\"eu-ham\",\"delta\":0}", 400, "QUANTITY_INVALID"),
        ("POST", &stock, "{\"region\":\"eu\",\"node\":\"eu-ham\",\"delta\":-999999}", 409, "STOCK_SHORT"),
        ("PUT", &format!("/content/{sku}"), "{}", 400, "REVISION_EMPTY"),
        ("PUT", &format!("/content/{sku}"), "{\"title\":\"a\\u0007\"}", 400, "TEXT_INVALID"),
        ("PUT", &format!("/content/{sku}"), &long, 400, "BODY_INVALID"),
        (
            "POST",
            "/promotions",
            &json!({ "sku": sku, "region": "eu", "percent": 99, "lasts_s": 1 }).to_string(),
            400,
            "PERCENT_INVALID",
        ),
        (
            "POST",
            "/promotions",
            &json!({ "sku": sku, "region": "eu", "percent": 9, "lasts_s": -1 }).to_string(),
            400,
            "WINDOW_INVALID",
        ),
        (
            "POST",
            "/checkout",
            &json!({ "sku": sku, "region": "eu", "quantity": 0 }).to_string(),
            400,
            "QUANTITY_INVALID",
        ),
    ] {
        let answer = client.ask(method, path, body).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (status, &json!(code)),
            "{method} {path} {}",
            answer.body
        );
        let sentence = answer.body["error"].as_str().unwrap();
        assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence:?}");
    }
    assert!(shop.seen.committed.lock().unwrap().is_empty(), "nothing of it took effect");
}
