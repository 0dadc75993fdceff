#!/usr/bin/env bash
# Train every encoder with equal steps in its CPU size, test it, and read the task off its frozen
# embeddings; then print the table.
#   benchmarks/compare_encoders.sh ZOO OUT [ENCODER ...]
# Two of these side by side, each with some of the encoders and OMP_NUM_THREADS=1, keep two cores busy.
set -euo pipefail
zoo=$1 out=$2
shift 2
encoders=("$@")
if [ ${#encoders[@]} -eq 0 ]; then
    encoders=(ConstantEmbedding LayerwiseStatistics FlattenedWeights ParameterTransformer
        DeepWeightSpace NoninteractiveProbing InteractiveProbing)
fi
for encoder in "${encoders[@]}"; do
    wsrl fit --config configs/emulation_small.yaml --config "configs/encoders/${encoder}_small.yaml" \
        --data.zoo "$zoo" --run "$out/$encoder"
    wsrl test --run "$out/$encoder" --ckpt_path best
    wsrl fit --config configs/prediction.yaml --data.zoo "$zoo" --run "$out/$encoder-task" \
        --model.pretrained "$out/$encoder/checkpoints/best.ckpt"
    wsrl test --run "$out/$encoder-task" --ckpt_path best
done
python benchmarks/encoder_table.py "$out"
