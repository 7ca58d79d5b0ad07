#!/usr/bin/env bash
#SBATCH --job-name=dcvc
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --output=dcvc-%A_%a.log
#
# Encodes clip number SLURM_ARRAY_TASK_ID of a folder:
#     sbatch --array=1-$(ls clips/*.y4m | wc -l) slurm_array.sh clips streams
# A job that is started again does nothing where its stream is there and whole.
set -euo pipefail
clips=$1 streams=$2
mapfile -t files < <(find "$clips" -maxdepth 1 -name '*.y4m' | sort)
clip=${files[$((SLURM_ARRAY_TASK_ID - 1))]}
mkdir -p "$streams"
exec dcvc encode "$clip" -o "$streams/" --skip-existing --threads "${SLURM_CPUS_PER_TASK:-4}" --progress none
