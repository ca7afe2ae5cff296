-- Who listens at night?
--
-- $min_plays (BIGINT): the fewest night plays of a night owl; with 0 everybody who listens is one.

SELECT user_id
FROM (
    SELECT user_id, plays FROM nights
    UNION ALL
    -- Users without night plays are not in `nights`; this part of the plan vanishes unless they are asked for.
    SELECT user_id, 0 AS plays FROM listens WHERE CAST($min_plays AS BIGINT) <= 0
)
GROUP BY user_id
HAVING SUM(plays) >= CAST($min_plays AS BIGINT)
ORDER BY user_id
