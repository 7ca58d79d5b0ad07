#!/usr/bin/env bash
#SBATCH --job-name=dcvc-chunk
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --output=dcvc-%A_%a.log
#
# Codes chunk number SLURM_ARRAY_TASK_ID of a plan, one job a chunk, then joins them:
#     dcvc plan film.mkv -o plan.json
#     last=$(( $(grep -c '"begins"' plan.json) - 1 ))
#     array=$(sbatch --parsable --array=0-"$last" slurm_chunks.sh film.mkv plan.json parts)
#     sbatch --dependency=afterok:"$array" --wrap 'dcvc concat --plan plan.json parts -o film.dcvc'
# A job that is started again does nothing where its part is there and fits.
set -euo pipefail
film=$1 plan=$2 parts=$3
mkdir -p "$parts"
exec dcvc encode "$film" --chunk "$plan:$SLURM_ARRAY_TASK_ID" -o "$parts/$SLURM_ARRAY_TASK_ID.dcvc" --skip-existing \
  --threads "${SLURM_CPUS_PER_TASK:-4}" --progress none
