//! Bad input and bad set-ups: one sentence, with a remedy and a code.

use services::{Authority, Redis};
use tidings_core::shared::level::{Bypass, Found, Level, Missed, Offer, Part, Unfilled};
use tidings_core::{Code, Error};
use tidings_redis::{RedisLevel, Settings, doctor};

use crate::support::{Shop, key, offer, price, skipped};

fn says(error: &Error, code: Code, what: &str) {
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    assert!(text.contains(what), "{text}");
    assert!(text.contains(code.remedy()) && text.ends_with(&format!("[{}]", code.id())), "{text}");
    assert!(!text.contains('\n') && !text.contains("sesame"), "{text}");
}

#[tokio::test]
async fn unreachable() {
    let settings = Settings::new("redis://:sesame@127.0.0.1:1", "shop");
    let error = RedisLevel::connect(settings).await.unwrap_err();
    says(&error, Code::REDIS_UNREACHABLE, "127.0.0.1:1: the store does not answer");
}

#[tokio::test]
async fn no_address() {
    for bad in ["nonsense:sesame", "", "http://:sesame@host"] {
        let error = RedisLevel::connect(Settings::new(bad, "shop")).await.unwrap_err();
        says(&error, Code::SETTING_INVALID, "address");
    }
    let error = RedisLevel::connect(Settings::new("redis://127.0.0.1:1", "a{b}")).await.unwrap_err();
    says(&error, Code::SETTING_INVALID, "namespace");
}

#[tokio::test]
async fn wrong_password() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[("requirepass", "open")]).unwrap();
    let url = server.url().replace("redis://", "redis://:sesame@");
    let error = RedisLevel::connect(Settings::new(&url, "shop")).await.unwrap_err();
    says(&error, Code::REDIS_LOGIN, "refused the login");
    let error = match RedisLevel::connect(Settings::new(&server.url(), "shop")).await {
        Err(error) => error,
        Ok(level) => failed(level.lookup(&key(), &[]).await),
    };
    says(&error, Code::REDIS_LOGIN, "refused the login");
}

fn failed(found: Found) -> Error {
    match found {
        Found::Bypass(Bypass::Failed(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn wrong_type_under_our_keys() {
    if skipped() {
        return;
    }
    for name in ["td1:{shop:0}:c", "td1:{shop:0}:k:product/42", "td1:{shop:0}:e:price/42"] {
        let server = Redis::start(&[]).unwrap();
        let shop = Shop::alone(&server).await;
        server.command(&["DEL", name]).unwrap();
        server.command(&["RPUSH", name, "theirs"]).unwrap();
        says(&failed(shop.look().await), Code::REDIS_KEY_TYPE, "another type");
        assert_eq!(server.command(&["TYPE", name]).unwrap(), "list", "it is not ours to remove");
        if name.ends_with(":c") {
            let found = doctor(&shop.level).await.unwrap();
            says(&found[0].error, Code::REDIS_KEY_TYPE, name);
        }
    }
}

#[tokio::test]
async fn unknown_formats_are_misses_that_are_counted() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    let slot = shop.level.slot(&key());
    let stored = server.command(&["GET", &slot]).unwrap();
    // Another version; no header; one that ends in the middle of what the answer was derived from.
    let cut = &stored[..100];
    for (n, bad) in [stored.replacen("T1", "T2", 1), "x".into(), cut.into(), String::new()].iter().enumerate()
    {
        server.command(&["SET", &slot, bad]).unwrap();
        let claim = shop.miss().await;
        assert_eq!(claim.missed, Missed::Format, "{bad}");
        assert_eq!(shop.level.counts().missed_format, n as u64 + 1);
        shop.level.abandon(&claim).await;
    }
    server.command(&["SET", "td1:{shop:0}:c", "T2 something newer"]).unwrap();
    assert!(matches!(shop.look().await, Found::Bypass(Bypass::NotLive(_))));
    let found = doctor(&shop.level).await.unwrap();
    says(&found[0].error, Code::REDIS_FORMAT, "td1:{shop:0}:c");
    shop.hear(8, 12).await.unwrap();
    assert!(matches!(shop.look().await, Found::Claim(_)), "it is opened anew");
}

#[tokio::test]
async fn names_that_only_this_program_would_not_write_are_no_answer() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    let slot = shop.level.slot(&key());
    let stored = server.command(&["GET", &slot]).unwrap();
    server.command(&["SET", &slot, &stored.replace("e:price/42", "e:price 42")]).unwrap();
    says(&failed(shop.look().await), Code::REDIS_FORMAT, "product/42");
}

#[tokio::test]
async fn eviction_policies() {
    if skipped() {
        return;
    }
    for (policy, expected) in
        [("noeviction", Some(true)), ("allkeys-lru", Some(false)), ("volatile-lru", None)]
    {
        let server = Redis::start(&[("maxmemory", "100mb"), ("maxmemory-policy", policy)]).unwrap();
        let shop = Shop::alone(&server).await;
        let found = doctor(&shop.level).await.unwrap();
        assert_eq!(found.first().map(|finding| finding.serious), expected, "{found:?}");
        for finding in &found {
            says(&finding.error, Code::REDIS_EVICTION, policy);
        }
    }
}

#[tokio::test]
async fn a_full_store_keeps_nothing_new_and_still_hears() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    let shop = Shop::alone(&server).await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    says(&failed(shop.look().await), Code::REDIS_FULL, "full");
    shop.hear(8, 12).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert!(matches!(shop.look().await, Found::Claim(_)), "what it has heard meanwhile stands");
}

#[tokio::test]
async fn answers_beyond_the_limits() {
    if skipped() {
        return;
    }
    let shop = Shop::shared().await;
    let claim = shop.miss().await;
    let large = vec![0; (1 << 20) + 1];
    let Err(Unfilled::Failed(error)) = shop.level.fill(&claim, offer(&large, &[], 9)).await else { panic!() };
    says(&error, Code::OVERSIZED, "product/42");
    let parts = vec![Part { thing: price(), stamp: None }; 65];
    let many = Offer { parts: &parts, ..offer(b"", &[], 9) };
    let Err(Unfilled::Failed(error)) = shop.level.fill(&claim, many).await else { panic!() };
    says(&error, Code::SETTING_INVALID, "65 things");
}

#[tokio::test]
async fn a_user_without_rights() {
    if skipped() {
        return;
    }
    let server = Redis::start(&[]).unwrap();
    server.command(&["ACL", "SETUSER", "guest", "on", ">sesame", "+ping", "+client", "+hello"]).unwrap();
    let url = server.url().replace("redis://", "redis://guest:sesame@");
    let level = RedisLevel::connect(Settings::new(&url, "shop")).await.unwrap();
    says(&failed(level.lookup(&key(), &[]).await), Code::REDIS_DENIED, "denied");
}

/// The rights that the guide names.
#[tokio::test]
async fn a_user_with_no_more_rights_than_needed() {
    if skipped() {
        return;
    }
    let guide = include_str!("../../../../docs/guide/redis.md");
    let line = guide.lines().find_map(|line| line.strip_prefix("ACL SETUSER tidings ")).unwrap();
    let line = line.replace("SECRET", "sesame");
    let server = Redis::start(&[]).unwrap();
    let words = ["ACL", "SETUSER", "tidings"].into_iter().chain(line.split(' '));
    server.command(&words.collect::<Vec<_>>()).unwrap();
    let url = server.url().replace("redis://", "redis://tidings:sesame@");
    let shop = Shop::open(crate::support::settings(&url, "shop")).await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    shop.hear(8, 12).await.unwrap();
    let claim = shop.miss().await;
    shop.level.abandon(&claim).await;
    shop.miss().await;
    assert!(doctor(&shop.level).await.unwrap().is_empty());
    server.command(&["SET", "td1:{other:0}:c", "theirs"]).unwrap();
    let other = RedisLevel::connect(Settings::new(&url, "other")).await.unwrap();
    says(&failed(other.lookup(&key(), &[]).await), Code::REDIS_DENIED, "denied");
}

#[tokio::test]
async fn encrypted_by_the_authority_that_is_set_and_no_other() {
    if skipped() {
        return;
    }
    let (ours, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let (certificate, key) = ours.server_files();
    let server = Redis::start(&[
        ("tls-port", "{encrypted}"),
        ("tls-cert-file", certificate.to_str().unwrap()),
        ("tls-key-file", key.to_str().unwrap()),
        ("tls-ca-cert-file", ours.file().to_str().unwrap()),
        ("tls-auth-clients", "no"),
    ])
    .unwrap();
    let url = server.url_encrypted().unwrap();
    let settings = |authority| Settings { authority, ..crate::support::settings(&url, "shop") };
    let shop = Shop::open(settings(Some(ours.file()))).await;
    let claim = shop.miss().await;
    shop.fill(&claim, 7, 9).await.unwrap();
    shop.hit().await;
    // Of another authority, of none that the system knows, and a port that does not speak TLS.
    for refused in [Some(other.file()), None] {
        let error = RedisLevel::connect(settings(refused)).await.unwrap_err();
        says(&error, Code::REDIS_TLS, "the encrypted connection was refused");
    }
    let plain = Settings::new(&server.url().replace("redis:", "rediss:"), "shop");
    let error = RedisLevel::connect(plain).await.unwrap_err();
    assert!([Code::REDIS_TLS, Code::REDIS_UNREACHABLE].contains(&error.code()), "{error}");
    let missing = RedisLevel::connect(settings(Some("missing.pem".into()))).await.unwrap_err();
    says(&missing, Code::REDIS_TLS, "cannot be read");
    let unencrypted = Settings { authority: Some(ours.file()), ..Settings::new(&server.url(), "shop") };
    let error = RedisLevel::connect(unencrypted).await.unwrap_err();
    says(&error, Code::SETTING_INVALID, "does not begin with rediss://");
}
