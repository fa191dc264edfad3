# What the fuzz targets are linked from: all that reads foreign bytes. Sourced, in the root of the repository, by
# scripts/fuzz.sh and scripts/replay_corpus.sh.
fuzz_sources=(base/*.cpp job/*.cpp core/vflow/{*,*/*}.cpp core/model/{*,bpe/*,jinja/*}.cpp evals/grading/*.cpp
  evals/tasks/task_file.cpp study/prediction.cpp
  agent/llm/{markdown,reply,sse,body_sink,models,wire,wire_chat,wire_messages,wire_responses}.cpp)
mapfile -t fuzz_targets < <(basename -a -s _fuzz.cpp tests/fuzz/*_fuzz.cpp)
