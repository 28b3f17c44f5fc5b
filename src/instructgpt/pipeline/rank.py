"""The `rank` stage of a pipeline: rankings from people, or from the written rule."""

from instructgpt.data.formats import write_records
from instructgpt.data.reading import load_records
from instructgpt.data.records import Candidates, Ranking
from instructgpt.pipeline.config import RankConfig
from instructgpt.pipeline.rule import rank
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run, RunDirectory, file_hashes
from instructgpt.run.progress import say


def rank_candidates(config: RankConfig | Resolved[RankConfig]) -> Run:
    """Write `OUT/rankings.jsonl`.

    Raises:
        UserError: the answers or the rankings cannot be read.
    """
    resolved = config if isinstance(config, Resolved) else Resolved.of(config)
    config = resolved.config
    directory = RunDirectory(config.out, "rank", resolved)
    run = Run(directory.path)
    if directory.is_done:
        directory.close()
        return run
    directory.start({"data": file_hashes(config.data + config.rankings)})
    if config.by == "rule":
        rankings = [rank(candidates) for candidates in load_records(config.data, Candidates)]
    else:
        rankings = load_records(config.rankings, Ranking)
    write_records(directory.path / "rankings.jsonl", rankings)
    say(f"rank: {len(rankings)} prompts ranked by {'the written rule' if config.by == 'rule' else 'people'}")
    directory.finish()
    return run
