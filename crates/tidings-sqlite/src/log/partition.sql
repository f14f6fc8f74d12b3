SELECT partition.id, earliest, head, latest, bytes
FROM partition JOIN topic ON topic.id = partition.topic
WHERE topic.name = ?1 AND part = ?2
