-- Who listens at night?
--
-- $min_plays (BIGINT): minimum number of plays at night of a night owl; with 0, every listener is a night owl.

SELECT user_id
FROM (
    SELECT user_id, plays FROM nights
    UNION ALL
    -- Users without plays at night are not in `nights`. If $min_plays is above 0, the planner removes this branch.
    SELECT user_id, 0 AS plays FROM listens WHERE CAST($min_plays AS BIGINT) <= 0
)
GROUP BY user_id
HAVING SUM(plays) >= CAST($min_plays AS BIGINT)
ORDER BY user_id
