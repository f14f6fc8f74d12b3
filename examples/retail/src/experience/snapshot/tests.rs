use super::super::projection::{SCHEMA, taken, versions};
use super::*;

/// A product at a version of its own, and in one region its price and stock at versions of theirs.
struct Row(&'static str, u64, u64, u64);

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn snapshots(taken: i64, rows: &[Row]) -> Snapshots {
    let content = rows.iter().map(|Row(sku, content, ..)| Listed {
        sku: (*sku).to_owned(),
        category: if content % 2 == 0 { "toys" } else { "tents" }.to_owned(),
        title: format!("{sku} {content}"),
        thumbnail: None,
        popularity: 1,
        listed_day: 1,
        version: version(*content),
    });
    let region = || "eu".to_owned();
    let prices = rows.iter().map(|Row(sku, _, price, _)| Priced {
        sku: (*sku).to_owned(),
        region: region(),
        cents: u32::try_from(price * 100).unwrap(),
        version: version(*price),
    });
    let stock = rows.iter().map(|Row(sku, _, _, stock)| Stocked {
        sku: (*sku).to_owned(),
        region: region(),
        available: stock * 10,
        version: version(*stock),
    });
    Snapshots {
        taken: Time::from_micros(taken),
        content: content.collect(),
        prices: prices.collect(),
        stock: stock.collect(),
    }
}

/// SKU, category, title; price and stock, each with its version.
fn held(db: &Connection) -> Vec<String> {
    let sql = "SELECT p.sku, o.category, title, cents, price_version, available, stock_version
               FROM product AS p JOIN offer AS o ON o.sku = p.sku AND o.category = p.category ORDER BY p.sku";
    let mut select = db.prepare(sql).unwrap();
    let rows = select.query_map([], |row| {
        let text = |column| row.get::<_, String>(column);
        let number = |column| row.get::<_, i64>(column);
        let parts = (number(3)?, number(4)?, number(5)?, number(6)?);
        Ok(format!("{} {} ({}) {parts:?}", text(0)?, text(1)?, text(2)?))
    });
    rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

fn model(rows: &[Row]) -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(SCHEMA).unwrap();
    merge(&db, &snapshots(10, rows), &Versions::default()).unwrap();
    db
}

#[test]
fn of_each_part_the_newer_version_stays() {
    let db = model(&[Row("A", 5, 5, 5), Row("B", 5, 5, 5), Row("C", 5, 5, 5)]);
    let before = versions(&db).unwrap();
    let newer = [Row("A", 6, 4, 6), Row("B", 4, 6, 4), Row("C", 5, 5, 5), Row("D", 1, 1, 1)];
    let changed = merge(&db, &snapshots(20, &newer), &before).unwrap();
    assert_eq!(
        held(&db),
        [
            "A toys (A 6) (500, 5, 60, 6)",
            "B tents (B 5) (600, 6, 50, 5)",
            "C tents (C 5) (500, 5, 50, 5)",
            "D tents (D 1) (100, 1, 10, 1)",
        ]
    );
    let changed: Vec<_> =
        changed.iter().map(|shown| format!("{}:{}", shown.entity, shown.stamp.unwrap())).collect();
    let expected = [
        "content/A:6",
        "content/D:1",
        "price/A/eu:5",
        "stock/A/eu:6",
        "price/B/eu:6",
        "stock/B/eu:5",
        "price/D/eu:1",
        "stock/D/eu:1",
    ];
    assert_eq!(changed, expected);
    assert_eq!(taken(&db).unwrap(), Time::from_micros(20));
    let again = merge(&db, &snapshots(30, &newer), &versions(&db).unwrap()).unwrap();
    assert_eq!(again, [], "nothing is newer");
}

#[test]
fn what_the_owners_have_no_more_goes_unless_the_events_said_newer() {
    let db = model(&[Row("A", 5, 5, 5), Row("B", 5, 5, 5), Row("C", 5, 5, 5)]);
    let before = versions(&db).unwrap();
    // Events that came while the snapshots were taken.
    db.execute_batch(
        "UPDATE product SET version = 6 WHERE sku = 'B'; UPDATE offer SET stock_version = 6 WHERE sku = 'B'",
    )
    .unwrap();
    merge(&db, &snapshots(20, &[Row("A", 5, 5, 5)]), &before).unwrap();
    assert_eq!(held(&db), ["A tents (A 5) (500, 5, 50, 5)", "B tents (B 5) (500, 5, 50, 6)"]);
    let offers: i64 = db.query_row("SELECT count(*) FROM offer", [], |row| row.get(0)).unwrap();
    assert_eq!(offers, 2);
}

#[test]
fn owners_that_disagree_are_not_believed() {
    let db = model(&[Row("A", 5, 5, 5)]);
    let mut snapshots = snapshots(20, &[Row("A", 6, 6, 6), Row("B", 1, 1, 1)]);
    snapshots.stock[1].sku = "C".to_owned();
    let refused = merge(&db, &snapshots, &Versions::default()).unwrap_err();
    assert_eq!(refused.code(), "SNAPSHOTS_DIFFER");
}
