INSERT INTO committed (consumers, topic, part, next) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (consumers, topic, part) DO UPDATE SET next = excluded.next
