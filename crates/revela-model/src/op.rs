//! Differentiable operations with a hand-written backward pass, joined to burn's autodiff.
//!
//! burn builds every function from tensor operations, each a pass over memory with its own saved
//! input. A [`Kernel`] is one function on contiguous `f32` tensors of the CPU backend instead: it reads
//! and writes slices, says which inputs its backward pass needs, and may ask to be computed again rather
//! than stored. This file is the only one that knows burn's autodiff internals.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::retro_forward::RetroForward;
use burn::backend::autodiff::checkpoint::state::BackwardStates;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    BackendTensor, DispatchAutodiffContext, DispatchDevice, DispatchKindConversion, DispatchTensor, Flex,
    GradientCheckpointingStrategy,
};
use burn::tensor::{DType, Tensor, TensorData};

/// A tensor of the CPU backend.
type FlexTensor = FloatTensor<Flex>;

/// A contiguous tensor as its numbers and its shape.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Row-major numbers.
    pub data: &'a [f32],
    /// The tensor's shape.
    pub shape: &'a [usize],
}

impl View<'_> {
    /// The length of the last axis, and how many rows of that length there are.
    pub fn rows(&self) -> (usize, usize) {
        let width = self.shape.last().copied().unwrap_or(1);
        (self.data.len() / width.max(1), width)
    }
}

/// What a forward pass gives: numbers, their shape, and what its backward pass wants to keep.
pub struct Output<S> {
    /// Row-major numbers.
    pub data: Vec<f32>,
    /// The result's shape.
    pub shape: Vec<usize>,
    /// Handed to [`Kernel::backward`].
    pub saved: S,
}

impl Output<()> {
    /// A result whose backward pass needs nothing but the inputs.
    pub fn new(data: Vec<f32>, shape: impl Into<Vec<usize>>) -> Self {
        Self { data, shape: shape.into(), saved: () }
    }
}

/// Whether an operation's result is kept for the backward passes that need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Always.
    Result,
    /// Only without gradient checkpointing; with it, the forward pass runs again when needed. For
    /// operations that cost little more than reading their inputs.
    Inputs,
}

/// A function of `N` tensors with its gradient.
pub trait Kernel<const N: usize>: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// What the forward pass keeps beside its inputs.
    type Saved: Clone + std::fmt::Debug + Send + Sync + Default + 'static;

    /// Whether the result is stored or computed again.
    const KEEP: Keep = Keep::Result;

    /// The function. `needs[i]` says whether the gradient of input i will be asked for; nothing need be
    /// saved where no element is set.
    fn forward(&self, inputs: [View<'_>; N], needs: [bool; N]) -> Output<Self::Saved>;

    /// Whether the backward pass reads input `i`, given which gradients are wanted.
    fn reads(&self, _input: usize, _needs: [bool; N]) -> bool {
        true
    }

    /// The gradients that `needs` asks for, of the shapes of the inputs. Inputs that are not
    /// [`reads`](Self::reads) are empty views.
    fn backward(
        &self,
        inputs: [View<'_>; N],
        saved: Self::Saved,
        grad: View<'_>,
        needs: [bool; N],
    ) -> [Option<Vec<f32>>; N];
}

/// Whether a tensor lives where kernels run: on the CPU backend, in f32.
pub fn runs_on<const D: usize>(tensor: &Tensor<D>) -> bool {
    let device = tensor.device().inner();
    matches!(device.as_dispatch(), DispatchDevice::Flex(_)) && tensor.dtype() == DType::F32
}

/// Runs a kernel on tensors for which [`runs_on`] holds, recording its gradient where they have one.
pub fn apply<K: Kernel<N>, const N: usize, const D: usize>(
    kernel: K,
    inputs: [DispatchTensor; N],
) -> Tensor<D> {
    let context = inputs.iter().fold(DispatchAutodiffContext::Disabled, |c, t| c.merge(t.autodiff));
    match context {
        DispatchAutodiffContext::Disabled => {
            let inputs = inputs.map(plain);
            Tensor::from_primitive::<Flex>(run(&kernel, &inputs, [false; N]).0)
        }
        DispatchAutodiffContext::Enabled(GradientCheckpointingStrategy::Disabled) => {
            record::<K, NoCheckpointing, N, D>(kernel, inputs.map(tracked::<NoCheckpointing>))
        }
        DispatchAutodiffContext::Enabled(GradientCheckpointingStrategy::Balanced) => {
            record::<K, BalancedCheckpointing, N, D>(kernel, inputs.map(tracked::<BalancedCheckpointing>))
        }
    }
}

fn plain(tensor: DispatchTensor) -> FlexTensor {
    match <DispatchTensor as DispatchKindConversion<Flex>>::try_into_backend(tensor) {
        Ok(BackendTensor::Float(tensor)) => tensor,
        _ => unreachable!("kernels run on float tensors of the CPU backend; the caller checks that"),
    }
}

fn tracked<C>(tensor: DispatchTensor) -> FloatTensor<Autodiff<Flex, C>>
where
    C: CheckpointStrategy,
    DispatchTensor: DispatchKindConversion<Autodiff<Flex, C>>,
{
    use burn::backend::AutodiffBackend;
    if tensor.autodiff == DispatchAutodiffContext::Disabled {
        return Autodiff::<Flex, C>::from_inner(plain(tensor));
    }
    match <DispatchTensor as DispatchKindConversion<Autodiff<Flex, C>>>::try_into_backend(tensor) {
        Ok(BackendTensor::Float(tensor)) => tensor,
        _ => unreachable!("kernels run on float tensors of the CPU backend; the caller checks that"),
    }
}

/// Runs the forward pass on tensors made contiguous.
fn run<K: Kernel<N>, const N: usize>(
    kernel: &K,
    inputs: &[FlexTensor; N],
    needs: [bool; N],
) -> (FlexTensor, K::Saved) {
    let inputs = inputs.each_ref().map(FlexTensor::to_contiguous);
    let output = kernel.forward(inputs.each_ref().map(view), needs);
    (tensor(output.data, &output.shape), output.saved)
}

fn view(tensor: &FlexTensor) -> View<'_> {
    View { data: tensor.as_slice::<f32>().unwrap_or_default(), shape: tensor.layout().shape() }
}

fn tensor(data: Vec<f32>, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(data, shape.to_vec()))
}

fn record<K: Kernel<N>, C: CheckpointStrategy, const N: usize, const D: usize>(
    kernel: K,
    inputs: [FloatTensor<Autodiff<Flex, C>>; N],
) -> Tensor<D>
where
    DispatchTensor: DispatchKindConversion<Autodiff<Flex, C>>,
{
    let needs = inputs.each_ref().map(|t| t.is_tracked());
    let prepare = Step(kernel.clone()).prepare::<C>(inputs.each_ref().map(|t| t.node()));
    let prepare = match K::KEEP {
        Keep::Result => prepare.compute_bound(),
        Keep::Inputs => prepare
            .memory_bound()
            .retro_forward(Again { kernel: kernel.clone(), inputs: inputs.each_ref().map(|t| t.id()) })
            .parents(&inputs),
    };
    let primitives = inputs.each_ref().map(|t| t.primitive().clone());
    let (output, saved) = run(&kernel, &primitives, needs);
    let output = match prepare.stateful() {
        OpsKind::Tracked(mut prepared) => {
            let mut index = 0;
            let kept = inputs.each_ref().map(|t| {
                index += 1;
                kernel.reads(index - 1, needs).then(|| prepared.checkpoint(t))
            });
            let shapes = primitives.map(|t| t.layout().shape().to_vec());
            prepared.finish(State { kept, shapes, saved, needs }, output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Autodiff<Flex, C>>(output)
}

#[derive(Debug)]
struct Step<K>(K);

#[derive(Debug, Clone)]
struct State<S, const N: usize> {
    kept: [Option<NodeId>; N],
    shapes: [Vec<usize>; N],
    saved: S,
    needs: [bool; N],
}

impl<K: Kernel<N>, const N: usize> Backward<Flex, N> for Step<K> {
    type State = State<K::Saved, N>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let State { kept, shapes, saved, needs } = ops.state;
        let inputs =
            kept.map(|id| id.map(|id| checkpointer.retrieve_node_output::<FlexTensor>(id).to_contiguous()));
        let empty = View { data: &[], shape: &[] };
        let views = inputs.each_ref().map(|t| t.as_ref().map_or(empty, view));
        let results = self.0.backward(views, saved, view(&grad), needs);
        for ((parent, result), shape) in ops.parents.iter().zip(results).zip(shapes) {
            if let (Some(parent), Some(data)) = (parent, result) {
                grads.register::<Flex>(parent.id, tensor(data, &shape));
            }
        }
    }
}

/// Computes a result again from its inputs, under gradient checkpointing.
#[derive(Debug)]
struct Again<K, const N: usize> {
    kernel: K,
    inputs: [NodeId; N],
}

impl<K: Kernel<N>, const N: usize> RetroForward for Again<K, N> {
    fn forward(&self, states: &mut BackwardStates, out_node: NodeId) {
        let inputs = self.inputs.map(|id| states.get_state::<FlexTensor>(&id));
        states.save(out_node, run(&self.kernel, &inputs, [false; N]).0);
    }
}

/// Reads a tensor's numbers where they are, if it is one for which [`runs_on`] holds.
pub fn read<const D: usize, R>(tensor: &Tensor<D>, look: impl FnOnce(&[f32]) -> R) -> Option<R> {
    if !runs_on(tensor) {
        return None;
    }
    let primitive = plain(tensor.clone().inner().into_dispatch()).to_contiguous();
    Some(look(view(&primitive).data))
}

/// Changes tensors where they are, reading another, if they are ones for which [`runs_on`] holds;
/// otherwise gives them back. Memory that nothing else refers to is not copied.
///
/// # Errors
/// The tensors, when any lives elsewhere.
pub fn update<const D: usize, const N: usize>(
    tensors: [Tensor<D>; N],
    other: &Tensor<D>,
    change: impl FnOnce([&mut [f32]; N], &[f32]),
) -> Result<[Tensor<D>; N], [Tensor<D>; N]> {
    if !tensors.iter().chain([other]).all(runs_on) {
        return Err(tensors);
    }
    let other = plain(other.clone().inner().into_dispatch()).to_contiguous();
    let mut primitives = tensors.map(|t| plain(t.inner().into_dispatch()).to_contiguous());
    change(primitives.each_mut().map(|p| p.storage_mut::<f32>()), view(&other).data);
    Ok(primitives.map(Tensor::from_primitive::<Flex>))
}
