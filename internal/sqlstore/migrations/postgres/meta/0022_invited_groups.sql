-- The groups of an invitation are named by their numbers, too: when a group is
-- gone another one may have its id. One that was made after the invitation is
-- not the group that is meant.
UPDATE invitations SET groups = (
	SELECT COALESCE(json_agg(json_build_object('id', e.value, 'number', COALESCE(
		(SELECT g.number FROM contact_groups g WHERE g.id = e.value AND NOT g.deleted AND g.created < invitations.created + 1000000), 0))), '[]')::text
	FROM json_array_elements_text(invitations.groups::json) e
) WHERE groups <> 'null';

UPDATE arrivals SET groups = (
	SELECT COALESCE(json_agg(json_build_object('id', e.value, 'number', COALESCE(
		(SELECT g.number FROM contact_groups g WHERE g.id = e.value AND NOT g.deleted), 0))), '[]')::text
	FROM json_array_elements_text(arrivals.groups::json) e
) WHERE groups <> 'null';
