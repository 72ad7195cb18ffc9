"""KuaiRand: the standard log and the random one, videos and users."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from math import log1p
from pathlib import Path

from helpers.raw_logs import Row

LOG = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,"
    "is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,"
    "is_profile_enter,is_rand,tab"
)
VIDEOS = (
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,"
    "server_width,server_height,music_id,music_type,tag"
)
USERS = (
    "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,"
    "follow_user_num,follow_user_num_range,fans_user_num,fans_user_num_range,friend_user_num,"
    "friend_user_num_range,register_days,register_days_range,"
    + ",".join(f"onehot_feat{number}" for number in range(18))
)


def write(folder: Path, version: str = "pure", users: int = 12, videos: int = 20) -> None:
    """Write a KuaiRand by hand, in the columns that its README lists."""
    rng = random.Random(6)
    data = folder / "KuaiRand" / "data"
    data.mkdir(parents=True)

    def line(user: int, date: int, is_random: int) -> str:
        click = rng.randint(0, 1)
        flags = [int(rng.random() < 0.4) for _ in range(5)]
        time = (date - 20220400) * 86_400_000 + rng.randint(0, 86_399_999)
        return ",".join(
            map(
                str,
                (
                    user, rng.randrange(videos), date, rng.choice([0, 400, 2300]), time, click,
                    *flags, flags[0], 9000, rng.choice([0, 7000, 104400]), 0, 0, 0, is_random,
                    rng.randint(0, 3),
                ),
            )
        )  # fmt: skip

    for name, dates, is_random in (
        ("log_standard_4_08_to_4_21", range(20220416, 20220422), 0),
        ("log_standard_4_22_to_5_08", range(20220422, 20220424), 0),
        ("log_random_4_22_to_5_08", range(20220422, 20220425), 1),
    ):
        lines = [
            line(user, date, is_random) for date in dates for user in range(users) for _ in "ab"
        ]
        (data / f"{name}_{version}.csv").write_text("\n".join([LOG, *lines]) + "\n", "utf-8")
    people = [
        f'{user},full_active,0,{user % 2},0,5,"(0,10]",312,"[100,1k)",0,0,3624,730+' + ",1" * 18
        for user in range(users)
    ]
    clips = [
        f"{video},{video % 4},NORMAL,2020-07-08,ShortImport,1,17200.0,720,1280,98{video},4.0,"
        '"12,65"'
        for video in range(videos - 1)
    ]
    (data / f"user_features_{version}.csv").write_text("\n".join([USERS, *people]) + "\n", "utf-8")
    text = "\n".join([VIDEOS, *clips]) + "\n"
    (data / f"video_features_basic_{version}.csv").write_text(text, "utf-8")


def read(
    folder: Path, version: str = "pure", label: str = "is_like", length: int = 20
) -> Iterator[Row]:
    def table(name: str) -> list[dict[str, str]]:
        with next(folder.rglob(f"{name}_{version}.csv")).open(newline="") as file:
            return list(csv.DictReader(file))

    users = {row["user_id"]: row for row in table("user_features")}
    videos = {row["video_id"]: row for row in table("video_features_basic")}
    rows = [
        (int(row["time_ms"]), row["user_id"], row["video_id"], name, row)
        for name in (
            "log_standard_4_08_to_4_21", "log_standard_4_22_to_5_08", "log_random_4_22_to_5_08"
        )
        for row in table(name)
    ]  # fmt: skip
    clicked = [(time, user, video) for time, user, video, _, row in rows if row["is_click"] == "1"]
    for time, who, _, name, row in rows:
        user, video = users[row["user_id"]], videos.get(row["video_id"], {})
        early = "train" if int(row["date"]) < 20220420 else "valid"
        clicks = [found[2] for found in sorted(clicked) if found[1] == who and found[0] < time]
        kept = ("is_live_streamer", "is_video_author", "user_active_degree")
        yield {
            **{key: row[key] for key in ("user_id", "video_id", "tab")},
            **{key: user[key] for key in (*kept, *(key for key in user if key.endswith("range")))},
            **{
                key: video.get(key)
                for key in ("author_id", "video_type", "upload_type", "music_type", "tag")
            },
            "hour": int(row["hourmin"]) // 100,
            "log_video_duration": log1p(int(row["duration_ms"])),
            "group": int(row["user_id"]),
            "policy": "random" if "random" in name else "log",
            "split": early if "4_21" in name else "test",
            "click": int(row["is_click"]),
            "conversion": int(row[label]) if row["is_click"] == "1" else None,
            **({"clicked_videos": clicks[-length:]} if length else {}),
        }
