-- A position never goes back within an epoch. A new epoch follows a gap, after which reading may go on earlier.
INSERT INTO tidings_projection_position (name, topic, part, epoch, next, caught_up)
VALUES (?1, ?2, ?3, (SELECT epoch FROM tidings_projection WHERE name = ?1), ?4, ?5)
ON CONFLICT (name, topic, part) DO UPDATE SET
    next = CASE WHEN epoch = excluded.epoch THEN max(next, excluded.next) ELSE excluded.next END,
    caught_up = max(ifnull(caught_up, excluded.caught_up), ifnull(excluded.caught_up, caught_up)),
    epoch = excluded.epoch
