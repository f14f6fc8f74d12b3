SELECT new_timeline, new_version
FROM tidings.record($1, $2, $3::text::json, $4, $5::text::timestamptz, $6::text::timestamptz, $7, $8, $9)
