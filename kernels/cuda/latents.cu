// Defines the kernels of the coding steps.
#include "kernels/cuda/latents.hpp"

using namespace dcvc::cuda;

GPU_KERNEL(coding_planes, kStepThreads, 4, kStepBytes, StepArguments, step_planes)
GPU_KERNEL(coding_count, kStepThreads, 4, kTurnedBytes, StepArguments, step_count)
GPU_KERNEL(coding_scan, kScanThreads, 1, kScanBytes, StepArguments, step_scan)
GPU_KERNEL(coding_rows, kStepThreads, 4, kStepBytes, StepArguments, step_rows)
GPU_KERNEL(coding_restore, kStepThreads, 4, kTurnedBytes, StepArguments, step_restore)
GPU_KERNEL(coding_quantise, kStepThreads, 4, kStepBytes, QuantiseArguments, step_quantise)
GPU_KERNEL(hyper_symbols, kStepThreads, 4, 0, HyperArguments, hyper_latents)
GPU_KERNEL(hyper_quantise, kStepThreads, 4, 0, HyperChoiceArguments, hyper_choice)
GPU_KERNEL(latents_to_float, kStepThreads, 4, 0, LatentArguments, float_latents)
