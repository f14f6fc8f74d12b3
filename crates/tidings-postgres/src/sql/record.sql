SELECT new_timeline, new_version
FROM tidings.record($1, $2, $3::json, $4, $5::timestamptz, $6::timestamptz, $7, $8, $9)
