"""KuaiRec: two matrices in long form, features of users, categories of videos."""

from __future__ import annotations

import random
from pathlib import Path


def write(folder: Path, users: int = 30, videos: int = 40) -> None:
    """Write a KuaiRec of hand, whose columns are in the order of the published notebook."""
    rng = random.Random(4)
    folder.mkdir(parents=True)
    header = "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio"

    def line(user: int, video: int) -> str:
        length, played = 5000 + 100 * video, rng.randint(0, 30_000)
        time = rng.choice(["2020-07-05 05:27:48.378,20200705.0,1593898068.378", ",,"])
        return f"{user},{video},{played},{length},{time},{played / length}"

    small = [line(user, video) for user in range(users) for video in range(videos)]
    big = [line(rng.randint(0, 99), min(rng.randint(0, 60), 50)) for _ in range(2000)]
    who = (
        "user_id,user_active_degree,is_live_streamer,is_video_author,follow_user_num_range,"
        "fans_user_num_range,friend_user_num_range,register_days_range"
    )
    kinds = ['full_active,1,0,"(10,50]","[1,10)",0,500+', "high_active,0,1,0,0,0,31-60"]
    people = [f"{user},{rng.choice(kinds)}" for user in range(users)]
    tags = [f'{video},"[{rng.randint(0, 9)}, {rng.randint(0, 9)}]"' for video in range(videos - 1)]
    tables = {
        "small_matrix": [header, *small],
        "big_matrix": [header, *big],
        "user_features": [who, *people],
        "item_categories": ["video_id,feat", *tags],
    }
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
