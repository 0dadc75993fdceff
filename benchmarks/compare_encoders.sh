#!/usr/bin/env bash
# Train every encoder with equal steps in its CPU size, test it, and read a property off its frozen
# embeddings; then print the table.
#   benchmarks/compare_encoders.sh ZOO OUT [ENCODER ...]
# TARGET names the property (default: task; of rotated images: angle), STEPS the training steps.
# Two of these side by side, each with some of the encoders and OMP_NUM_THREADS=1, keep two cores busy.
set -euo pipefail
zoo=$1 out=$2
target=${TARGET:-task} steps=${STEPS:-4000}
shift 2
encoders=("$@")
if [ ${#encoders[@]} -eq 0 ]; then
    encoders=(ConstantEmbedding LayerwiseStatistics FlattenedWeights ParameterTransformer
        DeepWeightSpace NoninteractiveProbing InteractiveProbing Spectral)
fi
for encoder in "${encoders[@]}"; do
    wsrl fit --config configs/emulation_small.yaml --config "configs/encoders/${encoder}_small.yaml" \
        --data.zoo "$zoo" --run "$out/$encoder" --trainer.max_steps "$steps"
    wsrl test --run "$out/$encoder" --ckpt_path best
    wsrl fit --config configs/prediction.yaml --data.zoo "$zoo" --run "$out/$encoder-$target" \
        --model.pretrained "$out/$encoder/checkpoints/best.ckpt" --model.target "$target"
    wsrl test --run "$out/$encoder-$target" --ckpt_path best
done
python benchmarks/encoder_table.py "$out"
