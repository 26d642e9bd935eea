"""The demo's requests that wait today: planned by hand, so that each step of the path has one."""

from datetime import datetime, timedelta
from functools import partial

from demo.calendar import in_office
from demo.places import PLACES
from demo.purposes import STAR_USES, TEAM_USES, USES
from demo.wishes import Wish


def open_wishes(*, now: datetime) -> list[Wish]:
    """Requests that wait today, one at each step of the path, some of them at several."""
    place = {place.name: place for place in PLACES}
    minato, hokushin = place["みなとエンタテインメント株式会社"], place["北辰メディア株式会社"]
    star, office = place["星野オフィス"], place["月影プロダクション"]
    overdue = in_office(now - timedelta(days=13))
    quick = partial(Wish, is_quick=True)

    def hours(n: int) -> datetime:
        return now - timedelta(hours=n)

    return [
        # Nobody answered: overdue, and with the role's deputies once the portal keeps time again.
        quick(hokushin, USES[3], "live", overdue, 150, stops_at="legal", rotation_days=90),
        # Broken glass: its clock runs for some hours yet.
        quick(minato, USES[1], "live", hours(7), 90, fate="emergency", stops_at="legal"),
        quick(minato, USES[5], "test", hours(34), 180, "sent_back", stops_at="legal"),
        *(
            quick(where, use, environment, hours(ago), days, stops_at=step, rotation_days=rotation)
            for where, use, environment, ago, days, step, rotation in (
                (minato, USES[2], "live", 52, 240, "coo", 90),
                (place["Larkfield Analytics Ltd."], USES[9], "live", 46, 180, "coo", 60),
                (place["東雲チケット株式会社"], USES[1], "test", 40, 180, "tech", 90),
                (place["データ基盤チーム"], TEAM_USES[2], "dev", 30, 120, "tech", 60),
                (hokushin, USES[6], "live", 26, 180, "legal", 90),
                (star, STAR_USES[1], "live", 28, 120, "rights_holder", 90),
                (office, STAR_USES[0], "live", 20, 120, "rights_holder", 90),
                (place["アオバ電子商事株式会社"], USES[5], "live", 7, 120, "pm", 90),
                (place["合同会社ハルカゼ"], USES[0], "live", 3, 120, "pm", 90),
            )
        ),
    ]
